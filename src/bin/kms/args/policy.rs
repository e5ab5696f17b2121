//! The command line of policies.
use super::Keys;
use crate::failure::EXIT_CODES;

/// Print what a KMS must allow, and no more
#[derive(clap::Args)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(clap::Subcommand)]
pub(crate) enum PolicyCommand {
    Aws(AwsPolicyArgs),
}

/// Print the IAM policy and the key policies for the KEKs in AWS KMS
///
/// In a build with the feature aws. Every call that a program with these KEKs and this context
/// makes, bound to the context: to all its pairs, and no other. Nothing is asked or applied, and
/// no credentials are needed. The manual page of the library, "aws_policy", tells which calls,
/// and how they are applied.
///
/// Prints one JSON object:
///
///   iam_policy             a policy document, as `aws iam put-role-policy` takes it
///   key_policy_statements  array of key, its ARN or that of an alias, and statements: to be added
///                          to the key's policy, where that does not leave all to IAM. They are no
///                          policy: one without its administrators locks them out
#[derive(clap::Args)]
#[command(verbatim_doc_comment, after_long_help = EXIT_CODES)]
pub(crate) struct AwsPolicyArgs {
    #[command(flatten)]
    pub(crate) keys: Keys,
    /// What is allowed: seal makes DEKs, open unwraps them (kms seal --header as well, where the
    /// header is there), rewrap does both to old ones
    #[arg(long = "for", value_name = "USE", value_delimiter = ',', value_parser = ["seal", "open", "rewrap"], default_values = ["seal", "open", "rewrap"])]
    pub(crate) uses: Vec<String>,
    /// A key of the encryption context that must be there with whatever value, as a tenant's
    #[arg(long, value_name = "KEY")]
    pub(crate) any_value: Vec<String>,
    /// The account of keys that are named by alias or id [default: *, any]
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,
    /// The region of keys whose URI does not say it [default: AWS_REGION or AWS_DEFAULT_REGION]
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Whom the key policies allow it, as arn:aws:iam::ACCOUNT:role/NAME [default: a text that AWS
    /// refuses]
    #[arg(long, value_name = "ARN")]
    pub(crate) principal: Option<String>,
}
