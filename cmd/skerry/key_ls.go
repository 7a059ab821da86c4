package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// keyRow is a key in the output of key ls.
type keyRow struct {
	Fingerprint string `json:"fingerprint"`
	Signs       bool   `json:"signs"`
	File        string `json:"file"`
	Line        int    `json:"line"`
	Note        string `json:"note,omitzero"`
}

func (a *app) keyLsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "Show the keys' fingerprints, where each of them lies, and which one signs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := a.keysInForce(cmd.Context())
			if err != nil {
				return err
			}
			rows, cells := []keyRow{}, [][]string{}
			for i, f := range k.found {
				r := keyRow{f.Key.Fingerprint(), i == 0, f.Path, f.Number, f.Note}
				does := "verifies"
				if r.Signs {
					does = "signs, verifies"
				}
				rows = append(rows, r)
				cells = append(cells, []string{r.Fingerprint, does, k.found[i].Place(), printable(r.Note)})
			}
			if a.flags.json {
				err = a.printJSON(map[string]any{"cluster": k.cluster, "keys": rows})
			} else if len(rows) > 0 {
				a.printTable([]string{"KEY", "DOES", "FILE", "NOTE"}, cells)
			}
			if len(rows) == 0 {
				return errors.Join(err, k.none())
			}
			return err
		},
	}
}
