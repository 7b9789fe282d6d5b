"""The outcomes of the records of a run, its figures, and which STATE can be written."""
