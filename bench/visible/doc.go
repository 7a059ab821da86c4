// Package visible measures how soon a step of a release is known to all
// processes of a site: real processes, in broadcast mode and with PostgreSQL.
package visible
