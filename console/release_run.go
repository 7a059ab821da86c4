package console

import (
	"context"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/run"
)

const (
	stepAnswer = 3 * time.Second  // a form waits so long for a step, and the page shows the rest
	stepEnd    = 10 * time.Second // a step that is told to end does so by then
	shipWait   = 5 * time.Minute  // for the instances of a new version
	keptNotes  = 20               // of a step
)

// runner makes the steps of releases that this console was asked for, one at a time: some wait for minutes.
type runner struct {
	// open returns the site as an operator controls it; nil: there is no site to steer.
	open func(control.Operator, releases.Teller) releases.Operations
	// after looks at the site when a step has ended; may be nil.
	after func(context.Context)

	mu    sync.Mutex
	group *run.Group // nil while the console does not run
	now   *progress  // the step that is made, or was made last; nil before the first
}

// progress is a step of a release that this console makes.
type progress struct {
	Action  string    `json:"action"`
	By      string    `json:"by"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"`
	Notes   []string  `json:"notes,omitempty"`
	Waits   string    `json:"waits,omitempty"` // for what, now
	Said    []string  `json:"said,omitempty"`  // what it has led to
	Failed  string    `json:"failed,omitempty"`
	Stopped bool      `json:"stopped,omitempty"` // an operator has ended it

	mu   *sync.Mutex
	end  context.CancelFunc
	done chan struct{}
	err  error       // when it has ended
	over func(error) // is called then; may be nil
}

// Runs reports whether the step is under way.
func (p *progress) Runs() bool { return p.Ended.IsZero() }

// teller keeps what a step tells.
func (p *progress) teller() releases.Teller {
	return releases.Teller{
		Note: func(format string, values ...any) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.Notes = append(p.Notes, string(quote.Sprintf(format, values...)))
			p.Notes = p.Notes[max(0, len(p.Notes)-keptNotes):]
			p.Waits = ""
		},
		Passing: func(format string, values ...any) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.Waits = string(quote.Sprintf(format, values...))
		},
	}
}

// within lets steps be made until the function that it returns is called, which ends those under way.
func (s *runner) within(ctx context.Context) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := run.NewGroup(ctx)
	s.group = g
	return func() {
		s.mu.Lock()
		s.group = nil
		s.mu.Unlock()
		_ = g.Stop() // a step keeps its own error
	}
}

// prepare returns the progress of a step that is planned.
func (s *runner) prepare(action, by string) *progress {
	return &progress{Action: action, By: by, mu: &s.mu, done: make(chan struct{})}
}

// begin makes a step. It reports false when another step is under way, or the console ends.
func (s *runner) begin(p *progress, step releases.Step) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.group == nil || s.now != nil && s.now.Runs() {
		return false
	}
	ctx, cancel := context.WithCancel(s.group.Context())
	p.Began, p.end = time.Now(), cancel
	ok := s.group.Go(func(context.Context) error {
		defer cancel()
		end, err := step.Do(ctx)
		if s.after != nil {
			looking, stop := context.WithTimeout(context.WithoutCancel(ctx), lookLimit)
			s.after(looking)
			stop()
		}
		s.mu.Lock()
		p.Ended, p.Waits, p.err = time.Now(), "", err
		if p.Said = end.Said; err != nil {
			p.Failed = releases.Explain(err).Error()
		}
		over := p.over
		s.mu.Unlock()
		close(p.done)
		if over != nil {
			over(err)
		}
		return nil
	})
	if !ok {
		cancel()
		return false
	}
	s.now = p
	return true
}

// later calls a function with the error of a step when the step ends, or at once if it has ended.
func (p *progress) later(over func(error)) {
	p.mu.Lock()
	if p.Runs() {
		p.over = over
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	over(p.err)
}

// stop ends the step under way, waits until it has ended, and returns it; nil when there is none.
func (s *runner) stop(ctx context.Context) *progress {
	s.mu.Lock()
	p := s.now
	if p == nil || !p.Runs() {
		s.mu.Unlock()
		return nil
	}
	p.Stopped = true
	p.end()
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, stepEnd)
	defer cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	return p
}

// look returns the step as it is now, nil before the first.
func (s *runner) look() *progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return nil
	}
	c := *s.now
	c.Notes = append([]string(nil), c.Notes...)
	return &c
}

// steered adds the step that this console makes to the snapshots of a site.
type steered struct {
	site
	steps *runner
}

func (s steered) snapshot(ctx context.Context) *snapshot {
	c := *s.site.snapshot(ctx)
	c.Step = s.steps.look()
	return &c
}
