"""Runs the tests beside it: python run.py [unittest's arguments]."""
import os
import sys
import unittest
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import older  # noqa: E402,F401  before the generated code

if __name__ == "__main__":
    warnings.simplefilter("error", ResourceWarning)
    arguments = sys.argv[1:] or ["discover", "-s", HERE, "-t", HERE]
    unittest.main(module=None, argv=[sys.argv[0]] + arguments)
