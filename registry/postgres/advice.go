package postgres

import "fmt"

// Advice returns the next step of an operator for an error of Probe, as one or two lines of text.
func (r *Registry) Advice(err error) string {
	user, host := r.conn.User, r.conn.Host
	switch sqlState(err) {
	case "28P01":
		return fmt.Sprintf(
			"mend the password of user %s in database.url, or in the file that it names; calls go on without the "+
				"database",
			user,
		)
	case "28000":
		return fmt.Sprintf(
			"let pg_hba.conf of %s admit user %s from this host, by the way (TLS or not) of database.url; calls go "+
				"on without",
			host,
			user,
		)
	case "3D000":
		return fmt.Sprintf(
			"mend the name of the database in database.url, or let its administrator create the database %s",
			r.conn.Database)
	case "53300":
		return "raise max_connections, or the limit of the user or the database; processes take turns meanwhile"
	case noRight:
		return fmt.Sprintf(
			"let the administrator of the database run the SQL of `skerry schema --grant-%s %s`",
			roleService,
			user,
		)
	case "":
		return "see that the server runs, and that a firewall lets its port through;\n" +
			"calls go on without it, from the last known lists and the LAN"
	}
	return "see what the server's log says of it; calls go on without it, from the last known lists and the LAN"
}
