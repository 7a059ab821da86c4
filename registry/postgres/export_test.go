package postgres

// What the tests from outside read.
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
