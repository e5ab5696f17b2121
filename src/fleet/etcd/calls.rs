//! The calls of etcd that values are read and written with.
use super::{
    connect::Etcd,
    generated::etcdserverpb::{
        Compare, KeyValue, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest,
        compare::{CompareTarget, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
};
use crate::Result;

/// A value, and which version of it this is.
pub(super) struct Value {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// etcd's `mod_revision`.
    pub(super) version: i64,
}

/// What became of a write.
pub(super) enum Put {
    Done,
    /// Somebody wrote it meanwhile; this is what it is now.
    Changed(Value),
    /// Somebody deleted it.
    Gone,
}

impl Etcd {
    /// The first values from `from` up to `end`, which is not among them, and whether there are more.
    pub(super) fn page(&self, from: &[u8], end: &[u8], limit: i64) -> Result<(Vec<Value>, bool)> {
        let range = RangeRequest { key: from.into(), range_end: end.into(), limit, ..Default::default() };
        let reply = self.range(&range)?;
        Ok((reply.kvs.into_iter().map(value).collect(), reply.more))
    }

    /// How many keys begin with `prefix`.
    pub(super) fn count(&self, prefix: &str) -> Result<u64> {
        let range = RangeRequest {
            key: prefix.into(),
            range_end: end_of(prefix.as_bytes()),
            count_only: true,
            ..Default::default()
        };
        Ok(self.range(&range)?.count.try_into().unwrap_or(0))
    }

    fn range(&self, range: &RangeRequest) -> Result<RangeResponse> {
        self.ask(|channel| {
            let request = self.request(range.clone());
            async move { Self::kv(channel).range(request).await }
        })
    }

    /// Writes `new` if this version is still there, and leaves its lease as it is.
    pub(super) fn replace(&self, key: &[u8], version: i64, new: &[u8]) -> Result<Put> {
        let transaction = TxnRequest {
            compare: vec![Compare {
                target: CompareTarget::Mod.into(),
                key: key.into(),
                target_union: Some(TargetUnion::ModRevision(version)),
                ..Default::default()
            }],
            success: vec![operation(Request::RequestPut(PutRequest {
                key: key.into(),
                value: new.into(),
                ignore_lease: true,
            }))],
            failure: vec![operation(Request::RequestRange(RangeRequest {
                key: key.into(),
                ..Default::default()
            }))],
        };
        let reply = self.ask(|channel| {
            let request = self.request(transaction.clone());
            async move { Self::kv(channel).txn(request).await }
        })?;
        if reply.succeeded {
            return Ok(Put::Done);
        }
        let range = reply
            .responses
            .into_iter()
            .find_map(|op| op.response.map(|Response::ResponseRange(range)| range));
        let now = range.and_then(|range| range.kvs.into_iter().next());
        Ok(now.map_or(Put::Gone, |now| Put::Changed(value(now))))
    }
}

fn value(kv: KeyValue) -> Value {
    Value { key: kv.key, value: kv.value, version: kv.mod_revision }
}

fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// Behind all keys that begin so: etcd's way to ask for a prefix.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_behind_its_keys() {
        assert_eq!(end_of(b"/registry/secrets/"), b"/registry/secrets0");
        assert_eq!(end_of(b"a\xff\xff"), b"b");
        assert_eq!(end_of(b"\xff"), [0]);
    }
}
