namespace java hello
namespace py hello
namespace cpp hello
namespace js hello

service Hello {
  string greet(1: string name)
}
