package main

import (
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/registry/postgres"
)

func (a *app) schemaCommand() *cobra.Command {
	replace := false
	users := map[postgres.Role]*[]string{}
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print the SQL that makes the tables",
		Long: `Prints the SQL for an administrator to run in the site's database, for when the
services' own user may not make tables. To run it twice changes nothing.

A --grant also gives a role of the database rights on the tables, each those of
the one before it, too:
  viewer    reads lists, statistics and the release log, and no secrets
  reader    reads the site's key and hears notifications: processes that only call
  service   writes leases, registrations and statistics: processes that serve
  operator  writes the release log and changes the site's keys: who releases
Each can be given more than once. Rights are added; REVOKE takes them away.

--replace first drops the tables of any version, with the registrations,
statistics and the release log in them.`,
		Example: "  skerry schema --grant-service app --grant-operator ops | psql -U postgres site",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			sql := postgres.Schema()
			if replace {
				sql = postgres.Replace()
			}
			for _, role := range postgres.Roles() {
				for _, user := range *users[role] {
					if user == "" || strings.ContainsFunc(user, unicode.IsControl) {
						return usagef("--grant-%s %q: name a role of the database", role, user)
					}
					sql += "\n" + role.Grant(user)
				}
			}
			if a.flags.json {
				return a.printJSON(map[string]any{"version": postgres.SchemaVersion, "sql": sql})
			}
			a.printf("%s", quote.Lines(sql))
			return nil
		},
	}
	for _, role := range postgres.Roles() {
		users[role] = c.Flags().StringArray("grant-"+string(role), nil,
			"also grant `ROLE` the rights that "+string(role)+" stands for above")
	}
	c.Flags().BoolVar(&replace, "replace", false, "drop the tables of any version first, with all that is in them")
	return c
}
