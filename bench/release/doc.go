// Package release plays one workload through the ways in which sites replace
// versions, and counts what breaks.
//
// A site is a graph of services with replicas; requests come in at gateways
// and set off calls, one after the other or at once, some of them one-way.
// Replies get lost and are asked for again, and a quarter of the processes
// hears late of whatever an operator decides. In full swing two services are
// released together. All chance is drawn beforehand (package sim): every
// [strategy] meets the same requests on the same site, and what a request has
// lost is the difference to the run in which nothing is released.
//
// What is simulated: versions, routing, messages, the control of a release.
// What is not: queues for processors, crashes (package rollout's explorer has
// them), and how instances are found: every process knows all instances.
//
// Skerry's part is played by its own package rollout: agents, logs, ledgers,
// drains and releases, and its runs are judged by rollouttest, too.
package release
