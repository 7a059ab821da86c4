package foreign

import (
	"cmp"
	"fmt"
	"time"

	"github.com/skerry/skerry/registry"
)

// Defaults of the zero fields of a Provider.
const (
	DefaultEvery    = 5 * time.Second
	DefaultFailures = 3
	maxTimeout      = 2 * time.Second // of one check, when Every is longer
)

// Provider is one address of a foreign service, with the check that tests whether it answers.
type Provider struct {
	Instance registry.Instance
	Check    Check
	Every    time.Duration // between two checks; 0 means 5 s
	Timeout  time.Duration // of one check; 0 means Every, at most 2 s
	Failures int           // failed checks in a row before the provider is withdrawn; 0 means 3
}

func (p Provider) withDefaults() Provider {
	p.Every = cmp.Or(p.Every, DefaultEvery)
	p.Timeout = cmp.Or(p.Timeout, min(p.Every, maxTimeout))
	p.Failures = cmp.Or(p.Failures, DefaultFailures)
	return p
}

// Validate returns an error for the first field that is wrong, nil when all are valid.
func (p Provider) Validate() error {
	if err := p.Instance.Check(); err != nil {
		return err
	}
	d := p.withDefaults()
	switch {
	case d.Every < 100*time.Millisecond:
		return fmt.Errorf("every %v: checks come at most ten times a second", d.Every)
	case d.Timeout < 0 || d.Failures < 1:
		return fmt.Errorf("timeout %v and failures %d must be positive", d.Timeout, d.Failures)
	case d.Timeout > d.Every:
		return fmt.Errorf("timeout %v of a check is longer than the time between checks (every %v)", d.Timeout, d.Every)
	}
	return nil
}
