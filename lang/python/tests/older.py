"""Makes code of the compiler 0.17 load on libraries before 0.11, which lack one module that it imports."""
import sys
import types


def fix_spec(structs):
    """Names the fields' types as old libraries want them: (class, spec) and not [class, None]."""
    for struct in structs:
        struct.thrift_spec = tuple(map(field, struct.thrift_spec or ())) or None


def field(spec):
    if spec is None or not isinstance(spec[3], list):
        return spec
    return spec[:3] + ((spec[3][0], spec[3][0].thrift_spec),) + spec[4:]


try:
    import thrift.TRecursive  # noqa: F401
    IS_OLD = False
except ImportError:
    IS_OLD = True
    stub = types.ModuleType("thrift.TRecursive")
    stub.fix_spec = fix_spec
    sys.modules["thrift.TRecursive"] = stub
