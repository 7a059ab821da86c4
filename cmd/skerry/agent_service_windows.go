package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// service runs as a service of Windows.
type service struct {
	ctx context.Context
	run func(context.Context) error
	err error
}

// inService runs something as a service if the service manager has started this process, else as it is.
func inService(ctx context.Context, run func(context.Context) error) error {
	is, err := svc.IsWindowsService()
	if err != nil || !is {
		return run(ctx)
	}
	s := &service{ctx: ctx, run: run}
	if err := svc.Run(agentService, s); err != nil {
		return err
	}
	return s.err
}

// Execute implements svc.Handler.
func (s *service) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	ctx, stop := context.WithCancel(s.ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	status <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case s.err = <-ended:
			if s.err != nil {
				return true, 1 // a failure, after which the service manager starts it again
			}
			return false, 0
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				status <- svc.Status{State: svc.StopPending}
				stop()
			}
		}
	}
}

// installService makes the service, or changes the one that is there, and starts it.
func installService(program, file string) error {
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("the service manager, as an administrator: %w", err)
	}
	defer m.Disconnect()
	config := mgr.Config{StartType: mgr.StartAutomatic, DisplayName: "skerry agent",
		Description: "Keeps on this host running what the site's plan wants"}
	s, err := m.CreateService(agentService, program, config, "agent", "run", "--file", file)
	if err != nil {
		if s, err = m.OpenService(agentService); err != nil {
			return err
		}
	}
	defer s.Close()
	again := mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: time.Second}
	if err := s.SetRecoveryActions([]mgr.RecoveryAction{again, again, again}, 60); err != nil {
		return err
	}
	if err := s.SetRecoveryActionsOnNonCrashFailures(true); err != nil {
		return err
	}
	if now, err := s.Query(); err == nil && now.State == svc.Running {
		return nil // skerry agent upgrade puts another version in its place
	}
	return s.Start()
}
