"""The six findings of the RSNA 2019 challenge, in the order of every table, tensor and file."""

KINDS = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
FINDINGS = (*KINDS, "any")
ANY = FINDINGS.index("any")

WEIGHTS = (1, 1, 1, 1, 1, 2)
"""The metric's weights: any counts twice (RSNA 2019, evaluation page)."""
