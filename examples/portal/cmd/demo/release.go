package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/internal/site"
	"github.com/skerry/skerry/examples/portal"
	"github.com/skerry/skerry/examples/portal/gen/portalapi"
)

// stepLimit is for one step of a release on a busy machine.
const stepLimit = 30 * time.Second

// release carries out one step as an operator does: by the command.
func release(args ...string) func(*site.Site) error {
	return func(s *site.Site) error {
		_, err := command(s, append(args, "--yes")...)
		return err
	}
}

func command(s *site.Site, args ...string) ([]byte, error) {
	config, err := s.Config("operator")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stepLimit)
	defer cancel()
	c := exec.CommandContext(ctx, s.Program("skerry"), append([]string{"release", "-c", config}, args...)...)
	out, err := c.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		err = fmt.Errorf("skerry release %v: %w", args, err)
	}
	return out, err
}

// preview is a verifier's request: it must meet the version of Auth and Proc that other requests do
// not meet yet.
func preview(version string) func(*site.Site) error {
	return func(s *site.Site) error {
		out, err := command(s, "status", "--json")
		if err != nil {
			return err
		}
		var status struct{ Release struct{ Mark string } }
		if err := json.Unmarshal(out, &status); err != nil {
			return err
		}
		config, err := s.Config("verifier")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), stepLimit)
		defer cancel()
		node, err := skerry.OpenFile(ctx, config, skerry.WithLogger(slog.New(slog.DiscardHandler)),
			skerry.WithClientInterceptors(portal.Note), skerry.AsObserver())
		if err != nil {
			return err
		}
		defer node.Close()
		return verify(ctx, node, status.Release.Mark, version)
	}
}

// verify sends requests until the verifier's node knows the rules and the version.
func verify(ctx context.Context, node *skerry.Node, mark, version string) error {
	ask := skerry.Stub(node, "portal", portalapi.NewPortalClient)
	for {
		trace := node.Rollout().Begin("verifier", 1, mark)
		answer, err := ask().Handle(trace.Context(ctx), &portalapi.Request{User: "vera", Secret: "open sesame",
			Key: "pump-1"})
		trace.End()
		met := 0
		if err == nil {
			for _, hop := range answer.Hops {
				if hop.Version == version && (hop.Callee == "auth" || hop.Callee == "proc") {
					met++
				}
			}
			if met == 3 && !mixed(answer.Hops) {
				return nil
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no request with the mark %q met %s: %w", mark, version, errors.Join(err, ctx.Err()))
		}
	}
}
