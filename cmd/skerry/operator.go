package main

import (
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/sshsig"
)

func (a *app) operatorCommand() *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use:   "operator",
		Short: "Show and extend the file of the operators that are obeyed",
		Long: `An operator signs releases, policies and plans with an Ed25519 key of OpenSSH.
The file of site.operators names the public keys, in the form of allowed_signers;
every host has the same file. To end an operator's rights take the line out.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.PersistentFlags().StringVar(&file, "file", "", "`FILE` of operators (default site.operators)")
	c.MarkPersistentFlagFilename("file")
	c.AddCommand(a.operatorLsCommand(&file), a.operatorAddCommand(&file), a.operatorEnvelopeCommand(&file))
	return c
}

// operatorsFile returns the file that the command line or the configuration names.
func (a *app) operatorsFile(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	c, err := a.config()
	if err != nil {
		return "", err
	}
	if c.Site.Operators == "" {
		return "", usagef("no file of operators is named; write site: {operators: /etc/skerry/operators} into the " +
			"configuration, or say --file FILE")
	}
	return c.Site.Operators, nil
}

// operatorRow is an operator in the output of operator ls.
type operatorRow struct {
	Name        string   `json:"name"`
	Fingerprint string   `json:"fingerprint"`
	Namespaces  []string `json:"namespaces"`
	Comment     string   `json:"comment,omitzero"`
	Line        int      `json:"line"`
}

func operatorRowOf(op sshsig.Operator) operatorRow {
	return operatorRow{op.Name, op.Key.Fingerprint(), op.Namespaces, op.Comment, op.Line}
}

func (a *app) operatorLsCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "Show the operators, their keys' fingerprints, and what they may sign",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := a.operatorsFile(*file)
			if err != nil {
				return err
			}
			list, err := keyfile.ReadOperators(path)
			if err != nil {
				return problemf("%w", err)
			}
			rows, cells := []operatorRow{}, [][]string{}
			for _, op := range list {
				r := operatorRowOf(op)
				rows = append(rows, r)
				cells = append(cells,
					[]string{r.Name, r.Fingerprint, strings.Join(r.Namespaces, ","), printable(r.Comment)})
			}
			if a.flags.json {
				return a.printJSON(map[string]any{"file": path, "operators": rows})
			}
			a.printTable([]string{"OPERATOR", "KEY", "MAY SIGN", "COMMENT"}, cells)
			return nil
		},
	}
}

func (a *app) operatorAddCommand(file *string) *cobra.Command {
	var namespaces []string
	c := &cobra.Command{
		Use:   "add NAME KEY.pub|-",
		Short: "Append an operator's public key to the file, after checks",
		Example: `  skerry operator add li ~/.ssh/id_ed25519.pub
  ssh-add -L | grep li@ops-1 | skerry operator add li -`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := a.operatorsFile(*file)
			if err != nil {
				return err
			}
			op := sshsig.Operator{Name: args[0], Namespaces: namespaces}
			if op.Name == operatorkey.Breakglass {
				return usagef("%s is the name of the key in the envelope; make it with: skerry operator envelope",
					op.Name)
			}
			if op.Key, op.Comment, err = a.readPublicKey(args[1]); err != nil {
				return err
			}
			return a.addOperator(path, op)
		},
	}
	c.Flags().StringSliceVar(&namespaces, "namespaces", sshsig.Namespaces, "what the operator may sign: `LIST` of "+
		"names")
	return c
}

func (a *app) readPublicKey(path string) (key sshsig.PublicKey, comment string, err error) {
	if path != "-" {
		if key, comment, err = keyfile.ReadPublicKey(path); err != nil {
			return key, "", problemf("%w", err)
		}
		return key, comment, nil
	}
	text, err := a.readSecret("The line of the .pub file: ")
	if err != nil {
		return key, "", err
	}
	if key, comment, err = sshsig.ParsePublicKey(strings.TrimSpace(text)); err != nil {
		return key, "", problemf("standard input: %w", err)
	}
	return key, comment, nil
}

func (a *app) addOperator(path string, op sshsig.Operator) error {
	if err := keyfile.AddOperator(path, op); err != nil {
		return problemf("%s is not added: %w", printable(op.Name), err)
	}
	if a.flags.json {
		return a.printJSON(map[string]any{"file": path, "operator": operatorRowOf(op)})
	}
	a.printf("%s: %s may sign %s with %s\n", path, op.Name, strings.Join(op.Namespaces, ", "), op.Key.Fingerprint())
	a.printf("Every host needs this file; processes see it within 5 s.\n")
	return nil
}

func (a *app) operatorEnvelopeCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "envelope",
		Short: "Make a second key for paper, for the loss of all others",
		Long: `Makes a key that lies on no computer: one line of 52 letters and digits, to be
written on paper and sealed in an envelope. It is named breakglass in the file of
operators. A command that signs asks for the line with --envelope. The line is
shown once and can't be shown again.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := a.operatorsFile(*file)
			if err != nil {
				return err
			}
			line, public := operatorkey.NewEnvelope()
			op := sshsig.Operator{
				Name: operatorkey.Breakglass, Key: public, Namespaces: sshsig.Namespaces, Comment: "envelope",
			}
			if err := keyfile.AddOperator(path, op); err != nil {
				return problemf("no envelope is made: %w", err)
			}
			if a.flags.json {
				return a.printJSON(map[string]any{"file": path, "operator": operatorRowOf(op), "line": line})
			}
			a.printf(`Write this on paper, check it letter by letter, and seal it in an envelope:

    skerry: the key for the loss of all others
    %s
    fingerprint %s
    Made of digits and letters without I, L, O and U.
    Use: any command that signs, with --envelope, asks for the line.

It is shown this once. Clear the screen, and the lines that scrolled away.
%s: %s may sign everything. Every host needs this file.
`, line, public.Fingerprint(), path, op.Name)
			return nil
		},
	}
}

func isPrint(r rune) bool { return unicode.IsPrint(r) && r != unicode.ReplacementChar }
