package skerry
