// The service that the tests of this directory call.
namespace go echo

service Echo {
  // Answers with the name of the process that ran it, after holding the call for that long.
  string who(1: i32 holdMillis)
}
