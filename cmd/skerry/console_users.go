package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/console"
	"github.com/skerry/skerry/internal/operatorkey"
)

func (a *app) consoleLinkCommand() *cobra.Command {
	r := console.LinkRequest{}
	c := &cobra.Command{
		Use:   "link",
		Short: "Make a link that signs a browser in to the console of this host",
		Long: `Makes a link for the console that runs on this host with the same configuration
and user: for one sign-in, in the next ten minutes. What stands behind its # is
sent to the console only, by the page itself, and stands in no server's log.`,
		Example: `  skerry console link --role viewer --by wall
  skerry console link --role operator --by li --for 8h`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			dir := consoleDir(cfg)
			if dir == "" {
				return usagef("links lie in state_dir, which says none; the console's own terminal prints one, too")
			}
			if r.Name == "" {
				r.Name = releaseFlags{}.operator()
			}
			url, err := console.MakeLink(dir, r, time.Now())
			if errors.Is(err, console.ErrNoConsole) {
				return unreachablef("no console runs here with its files in %s; start one: skerry console", dir)
			}
			if err != nil {
				return problemf("%w", err)
			}
			return a.printConsoleLink(url, r)
		},
	}
	c.Flags().StringVar(&r.Role, "role", "viewer", "viewer, operator or admin: what the `ROLE` may do")
	c.Flags().StringVar(&r.Name, "by", "", "`NAME` of the person, for the history (default: this user and host)")
	c.Flags().DurationVar(&r.For, "for", 8*time.Hour, "`TIME` that the session lasts, at most 12h")
	return c
}

func (a *app) printConsoleLink(url string, r console.LinkRequest) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"link": url, "name": r.Name, "role": r.Role, "for": r.For.String()})
	}
	a.note("for one sign-in of %s as %s, within ten minutes:", r.Name, r.Role)
	a.printf("%s\n", url)
	return nil
}

func (a *app) consoleUserCommand() *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use:   "user",
		Short: "Add, list and remove the users that sign in to the console",
		Long: `A user signs in to the console by a password, or by a certificate of the
authority in tls.ca with the user's name (CN). The file of console.users has their
names, roles, and hashes of passwords; a running console sees changes within 2 s.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.PersistentFlags().StringVar(&file, "file", "", "`FILE` of users (default console.users)")
	c.MarkPersistentFlagFilename("file")
	c.AddCommand(a.consoleUserAddCommand(&file), a.consoleUserListCommand(&file), a.consoleUserRemoveCommand(&file))
	return c
}

// consoleUsers returns the file that the command line or the configuration names.
func (a *app) consoleUsers(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	c, err := a.config()
	if err != nil {
		return "", err
	}
	if c.Console.Users == "" {
		return "", usagef("no file of users is named; write console: {users: /etc/skerry/console-users} into the " +
			"configuration, or say --file FILE")
	}
	return c.Console.Users, nil
}

func (a *app) consoleUserAddCommand(file *string) *cobra.Command {
	role, certificate := "viewer", false
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user, or give it another role and password",
		Long: `Adds a user, or gives it another role and password. The password is asked for on
the terminal, or read from standard input, and is never an argument.`,
		Example: `  skerry console user add li --role operator
  skerry console user add wang --role viewer --certificate`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := a.consoleUsers(*file)
			if err != nil {
				return err
			}
			password := ""
			if !certificate {
				if password, err = a.readPassword(args[0]); err != nil {
					return err
				}
			}
			if err := console.AddUser(path, args[0], role, password); err != nil {
				return problemf("%s is not added: %w", args[0], err)
			}
			a.note("%s: %s may sign in as %s", path, args[0], role)
			return nil
		},
	}
	c.Flags().StringVar(&role, "role", role, "viewer, operator or admin: what the `ROLE` may do")
	c.Flags().BoolVar(&certificate, "certificate", false, "without a password: a certificate of tls.ca signs in only")
	return c
}

// readPassword asks twice on a terminal, and reads the first line of any other input.
func (a *app) readPassword(name string) (string, error) {
	text, err := a.readSecret("Password of " + name + ": ")
	if err != nil {
		return "", err
	}
	if terminal(a.in) {
		again, err := operatorkey.Ask("Again: ")
		if err != nil {
			return "", problemf("%w", err)
		}
		if again != text {
			return "", problemf("the passwords are not the same")
		}
	}
	text, _, _ = strings.Cut(text, "\n")
	if text = strings.TrimSuffix(text, "\r"); text == "" {
		return "", problemf("the password is empty; a user without one signs in by a certificate: --certificate")
	}
	return text, nil
}

func (a *app) consoleUserListCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show the users, their roles, and how they sign in",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := a.consoleUsers(*file)
			if err != nil {
				return err
			}
			list, err := console.Users(path)
			if err != nil {
				return problemf("%w", err)
			}
			return a.printConsoleUsers(path, list)
		},
	}
}

func (a *app) printConsoleUsers(path string, list []console.User) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"file": path, "users": list})
	}
	var cells [][]string
	for _, u := range list {
		way := "certificate"
		if u.Password {
			way = "password"
		}
		cells = append(cells, []string{u.Name, u.Role, way})
	}
	a.printTable([]string{"USER", "ROLE", "SIGNS IN BY"}, cells)
	return nil
}

func (a *app) consoleUserRemoveCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Aliases: []string{"rm"},
		Short:   "Take a user out of the file; its sessions end",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := a.consoleUsers(*file)
			if err != nil {
				return err
			}
			if err := console.RemoveUser(path, args[0]); err != nil {
				return problemf("%w", err)
			}
			a.note("%s: %s may sign in no more", path, args[0])
			return nil
		},
	}
}

func (a *app) consoleVerifyCommand() *cobra.Command {
	dir, hash := "", ""
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that the console's audit log was not changed",
		Long: `Checks the audit log of the console in state_dir: each line holds the hash of the
line before. It names the first line that does not follow. Exit code 1 when there
is one.

A program that may write the files can write a new chain. So keep the hash of the
last line elsewhere, as this command prints it, or as the console's own log has it;
--has HASH says whether the line is still there.`,
		Example: "  skerry console verify\n  skerry console verify --dir /mnt/copy --has 9ad1e2389eb263ab",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if dir == "" {
				cfg, err := a.config()
				if err != nil {
					return err
				}
				if dir = consoleDir(cfg); dir == "" {
					return usagef("the audit log lies in state_dir, which says none; name a directory: --dir DIR")
				}
			}
			report, err := console.VerifyAudit(dir, hash)
			if err != nil {
				return problemf("%w", err)
			}
			return a.printAudit(report, dir, hash)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "`DIR` with the files console-audit-*.jsonl (default: that of state_dir)")
	c.Flags().StringVar(&hash, "has", "", "`HASH` of a line that must be there, its first 12 digits at least")
	c.MarkFlagDirname("dir")
	return c
}

// printOpen prints the actions that have no line of their end.
func (a *app) printOpen(open []console.AuditOpen) {
	if len(open) == 0 {
		return
	}
	a.printf("outcome unknown, as these actions have no line of their end: they are under way, or the console was " +
		"killed in the middle; release log, policy history and status say what was done\n")
	for _, o := range open[max(0, len(open)-shownOpen):] {
		a.printf("  line %d, %s: %s by %s %s\n", o.N, o.At.Local().Format(time.DateTime), o.Action, o.Name, o.Asked)
	}
	if left := len(open) - shownOpen; left > 0 {
		a.printf("  and %d before; --json has all\n", left)
	}
}

const shownOpen = 20 // actions that printOpen lists

// printAudit prints the report, and fails when the log is not whole.
func (a *app) printAudit(r console.AuditReport, dir, hash string) error {
	bad := r.Broken != nil || hash != "" && !r.Found
	if a.flags.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
		if bad {
			return &exitError{code: exitProblem}
		}
		return nil
	}
	if r.Lines > 0 {
		a.printf("%d lines, %d to %d, from %s to %s\nlast hash %s\n", r.Lines, r.First, r.Last,
			r.Since.Local().Format(time.DateTime), r.Until.Local().Format(time.DateTime), r.Head)
	}
	if r.First > 1 {
		a.printf("the lines before %d are too old and were removed\n", r.First)
	}
	if r.Torn > 0 {
		a.printf("a last line of %d bytes has no end: it is being written, or the console ended meanwhile\n", r.Torn)
	}
	switch {
	case r.Broken != nil:
		return problemf("the audit log was changed: %w", r.Broken)
	case hash != "" && !r.Found:
		return problemf("no line has the hash %s: the log was changed, or the line is too old", hash)
	case r.Lines == 0:
		a.printf("%s has no audit log of a console\n", dir)
		return nil
	}
	a.printf("every line follows the one before\n")
	a.printOpen(r.Open)
	return nil
}
