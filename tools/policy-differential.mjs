// Asks another evaluator of AWS policies the cases of a file, and compares. Run by tools/policy-differential.
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

// The evaluator is installed under build/, so it is named by its path.
const [file, evaluator] = process.argv.slice(2)
const { runSimulation } = await import(evaluator)

const OUTCOMES = { Allowed: 'allow', ExplicitlyDenied: 'deny', ImplicitlyDenied: 'lack' }

function simulation(line) {
  const named = policy => [{ name: 'it', policy }]
  return {
    request: {
      principal: line.principal,
      action: line.action,
      resource: { resource: line.resource, accountId: line.owner },
      contextVariables: line.context,
    },
    identityPolicies: line.identity.map((policy, index) => ({ name: `p${index}`, policy })),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    ...(line.session && { sessionPolicy: line.session }),
    ...(line.resourcePolicy && { resourcePolicy: line.resourcePolicy }),
    ...(line.boundary && { permissionBoundaryPolicies: named(line.boundary) }),
  }
}

const text = value => JSON.stringify(value)

const policies = line => [...line.identity, line.boundary, line.session, line.resourcePolicy].filter(Boolean)
const statements = policy => [policy.Statement].flat()
const grants = line =>
  line.resourcePolicy ? statements(line.resourcePolicy).filter(statement => statement.Effect === 'Allow') : []
const narrowed = line => line.boundary || line.session
const MISFITS = ['', 'many', 'noon', 'x', 'home', 'no-arn', 'arn:aws:ecs']

// Where the two are known to differ, by what a case must hold; docs/decisions/0022-policy-engine.md says why. A case that
// holds none of these must come out alike.
const CONSTRUCTS = {
  'the root in its own account': line => line.principal.endsWith(':root'),
  'a federated user without a session policy': line => line.principal.includes(':federated-user/') && !line.session,
  'ForAnyValue with IfExists': line => /ForAnyValue:\w+IfExists/.test(text(policies(line))),
  'variables in a policy of 2008': line =>
    policies(line).some(policy => policy.Version !== '2012-10-17' && text(policy).includes('${')),
  'a grant to everyone or to all but some, under a boundary or session policy': line =>
    narrowed(line) && grants(line).some(grant => grant.NotPrincipal || text(grant.Principal).includes('"*"')),
  'a grant to this very session or user, under a boundary or session policy': line =>
    narrowed(line) && grants(line).some(grant => text(grant.Principal ?? '').includes(line.principal)),
  'a variable before an ARN\'s fifth colon': line => /arn:[^"$]*\$\{aws:PrincipalAccount\}:/.test(text(policies(line))),
  'the network of all addresses': line => text(policies(line)).includes('"0.0.0.0/0"') && 'aws:sourceip' in line.context,
  'a date in seconds': line => /"1709251200"/.test(text(policies(line))),
  'a number with an exponent': line => /"1e3"/.test(text(policies(line))),
  'an operator that negates, with a variable': line => /"[^"]*Not[^"]*":\{[^}]*\$\{/.test(text(policies(line))),
  'a role passed to another account': line => line.action === 'iam:PassRole' && !line.principal.includes(line.owner),
  'NotResource with a variable': line => /"NotResource":[^\]}]*\$\{/.test(text(policies(line))),
  'NotPrincipal': line => line.resourcePolicy && statements(line.resourcePolicy).some(one => one.NotPrincipal),
  'a value that is not of its type': line =>
    Object.entries(line.context).some(([key, values]) => !/tag|userid/.test(key) && [values].flat().some(one => MISFITS.includes(one))),
  'several values of a key that has one': line =>
    Object.entries(line.context).some(([key, values]) => key !== 'aws:tagkeys' && [values].flat().length > 1),
  'a key of a list without a set operator': line => {
    const listed = operators => Object.entries(operators).some(([name, keys]) => !/^For|^Null/.test(name) && 'aws:TagKeys' in keys)
    return policies(line).some(policy => statements(policy).some(one => listed(one.Condition ?? {})))
  },
}

const counts = { cases: 0, same: 0, clean: 0, refused: 0, ignored: 0, differ: 0, outcomes: { allow: 0, deny: 0, lack: 0 }, constructs: {} }
const shown = []
for await (const row of createInterface({ input: createReadStream(file) })) {
  const line = JSON.parse(row)
  counts.cases++
  let response
  try {
    response = await runSimulation(simulation(line), {})
  } catch (error) {
    counts.refused++
    if (process.env.VERBOSE) console.log('threw', String(error).slice(0, 200))
    continue
  }
  if (response.resultType === 'error') {
    counts.refused++
    if (process.env.VERBOSE) console.log('refused', text(response.errors).slice(0, 300))
    continue
  }
  if (response.result?.ignoredContextKeys?.length) {
    counts.ignored++
    if (process.env.VERBOSE) console.log('ignored', response.result.ignoredContextKeys.join(' '))
    continue
  }
  const [ours] = line.decided.split(' ')
  const theirs = OUTCOMES[response.overallResult]
  const held = Object.keys(CONSTRUCTS).filter(name => CONSTRUCTS[name](line))
  if (held.length === 0) counts.clean++
  if (ours === theirs) {
    counts.same++
    counts.outcomes[ours]++
    continue
  }
  counts.differ++
  const why = held.length > 1 ? 'several of these' : held[0]
  if (why) counts.constructs[why] = (counts.constructs[why] ?? 0) + 1
  const wanted = process.env.CONSTRUCT
  if (wanted ? held.length === 1 && held[0].startsWith(wanted) : held.length === 0) shown.push({ theirs, ...line })
}
// Of all cases, at least so many: a run in which hardly anything was compared says nothing.
const FLOORS = { compared: 0.85, same: 0.75, clean: 0.12, allow: 0.05, deny: 0.05, lack: 0.05 }

counts.unexplained = shown.length
counts.compared = counts.same + counts.differ
console.log(JSON.stringify(counts, null, 2))
for (const line of shown.slice(0, Number(process.env.SHOW ?? 5))) console.log(text(line))
const reached = { ...counts, ...counts.outcomes }
const missed = Object.keys(FLOORS).filter(name => !(reached[name] >= FLOORS[name] * counts.cases && counts.cases > 0))
for (const name of missed) console.log(`only ${reached[name]} of ${counts.cases} cases are "${name}"; at least ${FLOORS[name] * 100} % must be`)
process.exitCode = shown.length > 0 || missed.length > 0 ? 1 : 0
