// The service that every process of these tests offers, under different names.
namespace go hop

// Failed says why an errand could not be done: code is the rpc.Code of the call that failed in the end.
exception Failed {
  1: string code
  2: string reason
}

service Hop {
  // visit does an errand (JSON) and answers when it is done.
  void visit(1: string errand) throws (1: Failed failed)

  // post does it without an answer.
  oneway void post(1: string errand)
}

// The subscriptions of these tests.
service Feed {
  // ticks are the numbers behind since.
  i64 ticks(1: i64 since) (skerry.stream = "server", skerry.resume = "since")
}
