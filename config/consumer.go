package config

import "time"

// Consumer holds the rules for the calls to one service.
type Consumer struct {
	// Version to call; empty for any.
	Version string `yaml:"version"`

	// Tags that a called instance must have.
	Tags map[string]string `yaml:"tags"`

	// Zone of the instances to call; empty for any.
	Zone string `yaml:"zone"`

	// Balancer chooses among the instances: p2c (the less busy of two drawn by
	// weight), round-robin (in turn, by weight), or hash (by the call's key, see
	// rpc.WithHashKey).
	Balancer string `yaml:"balancer" default:"p2c"`

	// ZoneFirst prefers instances of the process's own zone while one of them
	// is well.
	ZoneFirst bool `yaml:"zone_first" default:"false"`

	// Timeout of a call with all its attempts; it travels with the call. An earlier deadline of the
	// context counts.
	Timeout time.Duration `yaml:"timeout" default:"1s"`

	// Wait is how long a call waits, within Timeout, for the next instance when none can be called;
	// "none" to fail at once. The default is Timeout.
	Wait time.Duration `yaml:"wait"`

	// AttemptTimeout ends an attempt of an idempotent method, and tries another instance when there
	// is one. By default, only an attempt at an instance without a sign of life ends, after half of
	// the time that the call has left.
	AttemptTimeout time.Duration `yaml:"attempt_timeout"`

	// Retries is how many more instances a call tries after it failed before its execution.
	// Idempotent methods also retry when the execution is uncertain. 0 means none.
	Retries *int `yaml:"retries" unit:"attempts" default:"1"`

	// Idempotent names the methods that may be executed twice; "*" for all.
	Idempotent []string `yaml:"idempotent"`

	// Breaker refuses calls at once while most of them fail.
	Breaker Breaker `yaml:"breaker"`

	// Prefix is the service's name in the TMultiplexedProcessor of plain Thrift servers, for
	// servers without a name in their announcement: methods are called "Prefix:method".
	Prefix string `yaml:"prefix"`

	// MaxPending limits the concurrent calls to the service; more fail at once. 0 means no limit.
	MaxPending int `yaml:"max_pending" unit:"calls" default:"0"`

	// MaxRate limits the calls a second; more fail at once. 0 means no limit.
	MaxRate int `yaml:"max_rate" unit:"calls a second" default:"0"`
}

// Breaker is a circuit breaker over all instances of a service.
type Breaker struct {
	Off    bool          `yaml:"off" default:"false"`               // true: never refuse
	Ratio  int           `yaml:"ratio" unit:"percent" default:"50"` // percent of failed calls that opens it
	Calls  int           `yaml:"calls" unit:"calls" default:"20"`   // least calls in the window
	Window time.Duration `yaml:"window" default:"10s"`              // time over which calls are counted
}
