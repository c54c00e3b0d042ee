"""What the processes of a measurement do. One module per system, with the same roles under the same names:

receiver    counts what it gets in its slots of the shared progress, and answers "echo"
sender      commands `oneway`, `requests`, `broadcast`: makes the load, returns how long it took
"""
