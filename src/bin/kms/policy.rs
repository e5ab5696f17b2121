//! `kms policy`.
use crate::{
    args::{AwsPolicyArgs, Keys, PolicyArgs, PolicyCommand},
    failure::{Failure, say},
    output::print,
    text::{visible, visible_json},
};
use libkms::{
    EncryptionContext, Purpose, Result,
    kek::{AwsPolicy, AwsUse},
};
use std::{env, process::ExitCode};

pub(crate) fn run(args: &PolicyArgs) -> Result<ExitCode, Failure> {
    let PolicyCommand::Aws(args) = &args.command;
    let policy = policy(args)?;
    let json = policy.to_json()?;
    policy.remarks()?.iter().for_each(|remark| say(&visible(remark)));
    print((visible_json(&json) + "\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn policy(args: &AwsPolicyArgs) -> Result<AwsPolicy, Failure> {
    if args.keys.are_the_users() {
        return Err(Failure::usage("name the KEKs, with --kek or with --config and --purpose"));
    }
    let (mut policy, region) = (of(&args.keys)?.uses(&uses(&args.uses)), region(args));
    policy = args.any_value.iter().fold(policy, |policy, key| policy.any_value(key));
    policy = args.account.iter().fold(policy, |policy, account| policy.account(account));
    policy = region.iter().fold(policy, |policy, region| policy.region(region));
    Ok(args.principal.iter().fold(policy, |policy, arn| policy.principal(arn)))
}

fn of(keys: &Keys) -> Result<AwsPolicy> {
    let (wrapping, opening, mut context) = match (&keys.config, &keys.purpose) {
        (Some(config), Some(purpose)) => {
            let purpose = Purpose::load(config, purpose)?;
            (purpose.keks, purpose.opens_with, purpose.context)
        }
        _ => {
            let uris = |all: &[String]| all.iter().map(|uri| uri.parse()).collect::<Result<Vec<_>>>();
            (uris(&keys.kek)?, uris(&keys.opens_with)?, EncryptionContext::empty())
        }
    };
    for (key, value) in &keys.context {
        context = context.with(key, value)?;
    }
    let policy = wrapping.iter().fold(AwsPolicy::new(&context), AwsPolicy::kek);
    Ok(opening.iter().fold(policy, AwsPolicy::opens_with))
}

fn uses(names: &[String]) -> Vec<AwsUse> {
    let all = [("seal", AwsUse::Seal), ("open", AwsUse::Open), ("rewrap", AwsUse::Rewrap)];
    all.into_iter().filter(|(name, _)| names.iter().any(|n| n == name)).map(|(_, wanted)| wanted).collect()
}

fn region(args: &AwsPolicyArgs) -> Option<String> {
    let environment = |name| env::var(name).ok().filter(|region| !region.is_empty());
    args.region.clone().or_else(|| environment("AWS_REGION")).or_else(|| environment("AWS_DEFAULT_REGION"))
}
