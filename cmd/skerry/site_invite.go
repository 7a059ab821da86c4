package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/site/join"
)

// inviteFlags are the options of skerry site invite.
type inviteFlags struct {
	hostFlags
	listen string
	during time.Duration
}

const (
	inviteTime = time.Hour
	mostInvite = 24 * time.Hour
)

func (a *app) siteInviteCommand() *cobra.Command {
	f := &inviteFlags{}
	c := &cobra.Command{
		Use:   "invite HOST…",
		Short: "Print the line by which a host joins the site, and wait for it",
		Long: `Prints for each host the command to type there, and a token that it asks for. A token
is good for this host, once, for an hour, and only while this command runs: ctrl-C ends
all of them. The host gets the site's key, the public keys of operators and builders,
and a certificate, by a connection that both sides prove the token on. The token itself
never goes over the network.`,
		Example: `  skerry site invite ops-2 ops-3
  On ops-2:  skerry agent join 10.20.0.1
  token      7K3QX-…`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.siteInvite(cmd.Context(), f, args) },
	}
	c.Flags().StringVar(&f.dir, "dir", systemDir(), "`DIR` of the files of the site")
	c.Flags().StringVar(&f.listen, "listen", ":"+strconv.Itoa(join.Port), "`ADDRESS` on which hosts are awaited")
	c.Flags().DurationVar(&f.during, "for", inviteTime, "`TIME` that a token is valid")
	c.MarkFlagDirname("dir")
	spell(c, "for", inviteTime)
	return c
}

// inviteRow is an invitation as JSON has it, a line each.
type inviteRow struct {
	Host    string `json:"host"`
	Command string `json:"command"`
	Token   string `json:"token"`
}

// joinedRow is what has become of one.
type joinedRow struct {
	Host    string     `json:"host"`
	Address netip.Addr `json:"address"`
	Joined  bool       `json:"joined"`
	Problem string     `json:"problem,omitempty"`
}

func (a *app) siteInvite(ctx context.Context, f *inviteFlags, hosts []string) error {
	if f.during <= 0 || f.during > mostInvite {
		return usagef("--for %s: a token is valid for 1 s to %s", f.during, durationText(mostInvite))
	}
	if err := f.check(); err != nil {
		return err
	}
	m, err := f.membership()
	if err != nil {
		return err
	}
	authority, err := f.authority()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	i, err := join.NewInviter(join.Config{Membership: m, Authority: authority, Hosts: hosts, For: f.during})
	if err != nil {
		return usagef("%w", err)
	}
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return problemf("%w; another invitation may be under way, or name another address: --listen :PORT", err)
	}
	if err := a.printInvitations(i.Invitations(), l.Addr().(*net.TCPAddr).AddrPort(), f.during); err != nil {
		return err
	}
	missing, err := i.Serve(ctx, l, a.printJoined)
	if err != nil {
		return problemf("%w", err)
	}
	if len(missing) > 0 {
		return problemf("these hosts have not joined, and their tokens are void: %s", strings.Join(missing, ", "))
	}
	a.note("all have joined. What runs there is said by a plan: skerry site plan FILE")
	return nil
}

// membership is what this host hands out.
func (f *hostFlags) membership() (m join.Membership, err error) {
	c, err := config.Read(f.path(siteConfigName))
	if errors.Is(err, fs.ErrNotExist) {
		return m, problemf("%w; on the first host of a site: skerry site init", err)
	}
	if err != nil {
		return m, usagef("%w", err)
	}
	m = join.Membership{Cluster: c.WithDefaults().Cluster, Mode: string(c.WithDefaults().Mode), Seeds: c.LAN.Seeds,
		Port: c.LAN.Port, Ports: c.LAN.Ports, Database: c.Database.URL}
	open, err := keyfile.OpenKeys(m.Cluster, []string{f.path(keyName(m.Cluster))})
	if err != nil {
		return m, problemf("%w", err)
	}
	m.Keys = "# skerry: the key of the site. Each host with this key is a member: keep it to the hosts of the site.\n"
	for _, k := range open.Found() {
		m.Keys += k.Format() + "\n"
	}
	if _, err := keyfile.ReadOperators(f.path(operatorsName)); err != nil { // it may be written by others, or be gone
		return m, problemf("%w", err)
	}
	for name, text := range map[string]*string{operatorsName: &m.Operators, buildersName: &m.Builders,
		authorityName: &m.Authority} {
		raw, err := statedir.ReadNamed(f.path(name), maxFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return m, problemf("%w", err)
		}
		*text = string(raw)
	}
	return m, nil
}

func (a *app) printInvitations(list []join.Invitation, at netip.AddrPort, during time.Duration) error {
	addresses := reachable(at)
	for _, one := range list {
		row := inviteRow{one.Host, "skerry agent join " + addresses[0], one.Token}
		if a.flags.json {
			if err := a.printLine(row); err != nil {
				return err
			}
			continue
		}
		a.printf("On %s:  %s\n  token  %s\n", row.Host, row.Command, row.Token)
	}
	a.out.Flush()
	if len(addresses) > 1 {
		a.note("this host is reached at %s as well", strings.Join(addresses[1:], ", "))
	}
	a.note("waiting for %s, until ctrl-C; then the tokens are void", durationText(during))
	return a.out.Err()
}

// reachable are the addresses at which other hosts reach a listener.
func reachable(at netip.AddrPort) []string {
	addresses := []netip.Addr{at.Addr().Unmap()}
	if at.Addr().IsUnspecified() {
		_, addresses = ownNames(nil)
		slices.SortStableFunc(addresses, func(a, b netip.Addr) int { // IPv4 first: it is typed by hand
			return a.BitLen() - b.BitLen()
		})
	}
	var texts []string
	for _, one := range addresses {
		text := one.String()
		if int(at.Port()) != join.Port {
			text = netip.AddrPortFrom(one, at.Port()).String()
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return []string{"ADDRESS"}
	}
	return texts
}

// printJoined prints what has become of an invitation.
func (a *app) printJoined(e join.Event) {
	row := joinedRow{Host: e.Host, Address: e.Address, Joined: e.Err == nil}
	if e.Err != nil {
		row.Problem = e.Err.Error()
	}
	switch {
	case a.flags.json:
		a.printLine(row)
	case row.Joined:
		a.printf("%s has joined, from %s\n", row.Host, row.Address)
	default:
		a.printf("%s, asked from %s: %s\n", row.Host, row.Address, row.Problem)
	}
	a.out.Flush()
}
