package hosts

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
)

// stepLimit is for one step of a release on a busy machine.
const stepLimit = 90 * time.Second

// Release carries out one step of a release as an operator does, by the command, and returns its output.
func Release(ctx context.Context, s *site.Site, args ...string) ([]byte, error) {
	config, err := s.Configure("operator", "")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.Program("skerry"),
		append([]string{"release", "-c", config}, args...)...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		err = fmt.Errorf("skerry release %v: %w", args, err)
	}
	return out, err
}
