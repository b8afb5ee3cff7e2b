"""Classifiers served over HTTP: `server` answers requests, and asks `worker`, a process with the networks in it."""
