package postgres

// Internals that tests outside the package read.
const (
	Viewer   = roleViewer
	Reader   = roleReader
	Service  = roleService
	Operator = roleOperator
)

type RightsError = rightsError

var (
	ErrOldTables   = errOldTables
	ErrNewTables   = errNewTables
	ErrKeysChanged = errKeysChanged
)
