package main

import (
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/registry/postgres"
	"github.com/spf13/cobra"
)

func (a *app) schemaCommand() *cobra.Command {
	user := ""
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print the SQL that makes the tables",
		Long: `Prints the SQL for an administrator to run in the site's database, for when the
services' own user may not make tables. To run it twice changes nothing. With
--grant it also gives that user the rights on the tables that it needs.`,
		Example: "  skerry schema --grant app | psql -U postgres site",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			sql := postgres.Schema()
			if user != "" {
				sql += "\n" + postgres.Grants(user)
			}
			if a.flags.json {
				return a.printJSON(map[string]any{"version": postgres.SchemaVersion, "sql": sql})
			}
			a.printf("%s", quote.Lines(sql))
			return nil
		},
	}
	c.Flags().StringVar(&user, "grant", "", "also grant the rights that `USER` needs")
	return c
}
