"""From batches to logits, and how they are learned. An import points only to an earlier line of this map:

backbone    timm networks by name
context     how many slices a prediction looks at
loss        what a training makes small
classifier  the whole way from HU to logits
learner     a classifier in training: loss, optimizer, schedule, exact metrics
"""
