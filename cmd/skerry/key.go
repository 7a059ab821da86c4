package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/sitekey"
)

// maxKeyText bounds the bytes of standard input that are read as keys.
const maxKeyText = 64 << 10

func (a *app) keyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Make, hand on and change the site's key",
		Long: `A process is a member of its site by the site's key, a text that begins with
sk1-. It lies in the files of site.keys, else in the first of
$CREDENTIALS_DIRECTORY/skerry.key, /etc/skerry/CLUSTER.key and skerry/CLUSTER.key
in the user's configuration directory, else in the database. A key is never an
argument of a command.`,
		Example: `  skerry key new                                  # on the first host
  skerry key show | ssh HOST skerry key set       # for each of the others`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.keyNewCommand(), a.keySetCommand(), a.keyShowCommand(), a.keyLsCommand(), a.keyRotateCommand())
	return c
}

// keys holds the key files of this host by the configuration.
type keys struct {
	cluster string
	files   []string // named files; empty for the default places
	found   []keyfile.Key

	inConfig sitekey.Key // lan.key, which precedes files
	stored   bool        // the database was asked as well
}

// keys reads the key files. A configuration without site keys is an error.
func (a *app) keys() (keys, error) {
	k, err := a.keyPlaces()
	if err != nil {
		return k, err
	}
	if !k.inConfig.IsZero() {
		k.found = []keyfile.Key{{Line: sitekey.Line{Key: k.inConfig}, Path: "lan.key"}}
		return k, nil
	}
	open, err := keyfile.OpenKeys(k.cluster, k.files)
	if errors.Is(err, fs.ErrNotExist) {
		return k, problemf("%w; make a key: skerry key new; or take over the one of another host: skerry key show | "+
			"ssh HOST skerry key set", err)
	}
	if err != nil {
		return k, problemf("%w", err)
	}
	k.found = open.Found()
	return k, nil
}

// keyPlaces returns the places of this host's key files, without reading them.
func (a *app) keyPlaces() (keys, error) {
	c, err := a.config()
	if err != nil {
		return keys{}, err
	}
	c = c.WithDefaults()
	k := keys{cluster: c.Cluster, files: c.Site.Keys}
	switch {
	case slices.Equal(k.files, []string{config.KeysNone}):
		return k, problemf("site.keys says none: the site has no key; take the line out, or unset SKERRY_SITE_KEYS, " +
			"and make one: skerry key new")
	case slices.Equal(k.files, []string{config.KeysCertificates}):
		return k, problemf("site.keys says certificates: the authority of tls.ca proves membership, and there is no " +
			"key")
	case c.LAN.Key != "":
		k.inConfig, err = sitekey.Parse(c.LAN.Key)
	}
	return k, err
}

// write creates a key file in the first place that this user may write.
func (k keys) write(out string, lines ...sitekey.Line) (path string, err error) {
	places := k.files[:min(len(k.files), 1)]
	switch {
	case out != "":
		places = []string{out}
	case len(places) == 0:
		places = keyfile.Homes(k.cluster)
	}
	return firstWritable(places, lines)
}

func firstWritable(places []string, lines []sitekey.Line) (path string, err error) {
	var denied error
	for _, path := range places {
		err := keyfile.CreateKeys(path, lines...)
		switch {
		case err == nil:
			return path, nil
		case errors.Is(err, fs.ErrExist):
			return path, problemf("%s is there already and stays as it is", path)
		}
		denied = errors.Join(denied, err)
	}
	return "", problemf("no key file can be written: %w; run the command as root, or name a file: --out FILE", denied)
}

func (a *app) keyNewCommand() *cobra.Command {
	out := ""
	c := &cobra.Command{
		Use:   "new",
		Short: "Make a key for a new site, and say what the next host needs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := a.keyPlaces()
			if err != nil {
				return err
			}
			if out == "" {
				if err := k.refuseSecond(); err != nil {
					return err
				}
				if err := a.refuseBesideStored(cmd.Context(), k); err != nil {
					return err
				}
			}
			key := sitekey.New()
			path, err := k.write(out, sitekey.Line{Key: key})
			if err != nil {
				return err
			}
			return a.keyWritten(k, path, []sitekey.Key{key}, "made")
		},
	}
	c.Flags().StringVar(&out, "out", "", "write `FILE`, with mode 0600, in place of the cluster's")
	return c
}

// refuseSecond returns an error when processes already use a key.
func (k keys) refuseSecond() error {
	if !k.inConfig.IsZero() {
		return problemf("lan.key holds the key %s already; store it in a file: skerry key show | skerry key set, "+
			"and take lan.key out", k.inConfig.Fingerprint())
	}
	open, err := keyfile.OpenKeys(k.cluster, k.files)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return problemf("a key file is there, and is no good: %w", err)
	case len(open.Found()) > 0:
		return problemf("%s holds the key %s already, and stays; to change it: skerry key rotate",
			open.Found()[0].Path, open.Found()[0].Key.Fingerprint())
	}
	return nil
}

// keyWritten prints where the keys are stored now and how the other hosts get them.
func (a *app) keyWritten(k keys, path string, list []sitekey.Key, deed string) error {
	prints := fingerprints(list)
	if a.flags.json {
		return a.printJSON(map[string]any{"file": path, "fingerprints": prints, "deed": deed})
	}
	also := ""
	if a.flags.config != "" {
		also = " -c " + shellQuote(a.flags.config)
	} else if a.flags.cluster != "" {
		also = " --cluster " + k.cluster
	}
	a.printf("%s: %s, the key of the site %s: %s\n", path, deed, k.cluster, strings.Join(prints, ", "))
	a.printf("\nEach other host needs the same key. For each of them:\n  skerry key show%s | ssh HOST skerry key "+
		"set%s\n", also, also)
	a.printf("\nServices that run as another user need a right to read it:\n  LoadCredential=skerry.key:%s in the "+
		"systemd unit, or chown root:GROUP and chmod 640\n", path)
	return nil
}

func fingerprints(list []sitekey.Key) []string {
	prints := []string{}
	for _, k := range list {
		prints = append(prints, k.Fingerprint())
	}
	return prints
}

// shellQuote quotes a text for a shell.
func shellQuote(text string) string {
	if scalar(text) == text {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func (a *app) keySetCommand() *cobra.Command {
	out, replace := "", false
	c := &cobra.Command{
		Use:   "set",
		Short: "Store a key that another host shows; read from standard input, or asked for",
		Long: `Reads the keys from standard input; on a terminal it asks for one, and shows
nothing. Keys that are there already are replaced when one of them stays, as in
a rotation; other ones only with --replace.`,
		Example: `  skerry key show | ssh HOST skerry key set`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("a key is no argument, which other users of the host could read; run skerry key set " +
					"without any, and it asks")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return a.keySet(out, replace) },
	}
	c.Flags().StringVar(&out, "out", "", "write `FILE`, with mode 0600, in place of the cluster's")
	c.Flags().BoolVar(&replace, "replace", false, "also when none of the keys that are there stays")
	return c
}

func (a *app) keySet(out string, replace bool) error {
	k, err := a.keyPlaces()
	if err != nil {
		return err
	}
	text, err := a.readSecret("The site's key: ")
	if err != nil {
		return err
	}
	lines, err := sitekey.ParseList(text)
	if err != nil {
		return problemf("the input is no site key: %w", err)
	}
	var list []sitekey.Key
	for _, l := range lines {
		list = append(list, l.Key)
	}
	path, old, err := k.target(out, replace)
	if err != nil {
		return err
	}
	if path == "" {
		if path, err = k.write(out, lines...); err != nil {
			return err
		}
		return a.keyWritten(k, path, list, "stored")
	}
	stays := slices.ContainsFunc(old, func(o keyfile.Key) bool { return slices.Contains(list, o.Key) })
	if !stays && !replace {
		return problemf("%s holds another key, %s; with it this host is a member of another site. To leave that "+
			"one: skerry key set --replace", path, old[0].Key.Fingerprint())
	}
	if err := keyfile.ReplaceKeys(path, lines); err != nil {
		return problemf("%w", err)
	}
	return a.keyWritten(k, path, list, "stored")
}

// target returns the existing key file and its keys; "" when there is none. With replace it
// also returns a file that can't be parsed.
func (k keys) target(out string, replace bool) (path string, old []keyfile.Key, err error) {
	files := k.files
	if out != "" {
		files = []string{out}
	}
	if len(files) > 1 {
		return "", nil, problemf("site.keys names %d files; say which one to write: --out FILE", len(files))
	}
	open, err := keyfile.OpenKeys(k.cluster, files)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, nil
	case err != nil && replace && len(files) == 1:
		return files[0], nil, nil
	case err != nil && len(files) == 1:
		return "", nil, problemf("%w; to write it anew: --replace", err)
	case err != nil:
		return "", nil, problemf("%w; to write it anew: --replace --out FILE", err)
	case len(open.Found()) == 0:
		return "", nil, nil
	}
	return open.Found()[0].Path, open.Found(), nil
}

// readSecret reads standard input to its end, or a line from the terminal.
func (a *app) readSecret(prompt string) (string, error) {
	if terminal(a.in) {
		text, err := operatorkey.Ask(prompt)
		if err != nil {
			return "", problemf("%w", err)
		}
		return text, nil
	}
	text, err := io.ReadAll(io.LimitReader(a.in, maxKeyText+1))
	if err != nil {
		return "", problemf("read standard input: %w", err)
	}
	if len(text) > maxKeyText {
		return "", problemf("standard input has more than %d bytes, and holds no keys", maxKeyText)
	}
	return string(text), nil
}

// terminal reports whether a stream of the command is a terminal.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (a *app) keyShowCommand() *cobra.Command {
	yes := false
	c := &cobra.Command{
		Use:   "show",
		Short: "Print the keys themselves, for another host",
		Long: `Prints the keys, a line each, into a pipe or a file. On a terminal, where other
people may look on and scrolled lines stay, it needs --yes.`,
		Example: `  skerry key show | ssh HOST skerry key set`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := a.keysInForce(cmd.Context())
			if err != nil {
				return err
			}
			if len(k.found) == 0 {
				return k.none()
			}
			if a.out.Terminal() && !yes {
				return usagef("this would show the key on the screen; pipe it to the other host, skerry key show | " +
					"ssh HOST skerry key set, or say --yes")
			}
			var lines []string
			for _, f := range k.found {
				lines = append(lines, f.Format())
			}
			if a.flags.json {
				return a.printJSON(map[string]any{"cluster": k.cluster, "keys": lines})
			}
			for _, line := range lines {
				a.printf("%s\n", line)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "also on a terminal")
	return c
}

func (k keys) none() error {
	if k.stored {
		return problemf("neither a file of this host nor the database holds a key of the site %s; the first "+
			"service makes one in the database", k.cluster)
	}
	return problemf("this host has no key of the site %s; make one: skerry key new; or take over the one of another "+
		"host: skerry key show | ssh HOST skerry key set", k.cluster)
}

// printable quotes a text of a file when it has control characters, so that none
// reaches the terminal.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !isPrint(r) }) {
		return fmt.Sprintf("%q", text)
	}
	return text
}
