// Package health decides which sites may be answered. It holds three pure cores and the data that flows between
// them:
//
//   - the observer: one node's probe results for one target become a state with hysteresis ([StepObserver]);
//   - the aggregate: the evidence of all nodes becomes votes per configured datacenter ([Aggregate]);
//   - the decision: votes, last known good verdicts and brakes become a [Verdict] per target ([Decide]).
//
// Votes are counted by configured datacenter, however many nodes it has. Monitoring may take a site out of answers,
// but its own datacenter's word alone neither takes it out nor keeps it in, and a fragment without quorum never takes
// out the last site that it reaches.
//
// Equal evidence and equal configuration give equal verdicts on every node: the cluster part is memoryless and
// integer-only, and everything that depends on history lives in the record of the one observer that owns it.
// Nothing here reads a clock, opens a socket or compares wall clocks of two machines; ages are durations that the
// caller measured on its own monotonic clock. Probing itself is in health/probe.
package health
