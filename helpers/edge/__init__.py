"""The device: convert and quantise a model, run it, read it back, measure it, seal and sign it.

``helpers.edge.convert`` and ``helpers.edge.quantise`` turn a Keras model into files for a device.
``helpers.edge.runtimes`` runs a file on any of four runtimes behind one ``predict``.
``helpers.edge.reading`` and ``helpers.edge.replica`` turn a file back into weights and gradients.
``helpers.edge.measure`` measures here; ``helpers.edge.devices`` estimates elsewhere, and says so.
``helpers.edge.sealing`` encrypts a file; ``helpers.edge.signing`` signs and verifies one.
``helpers.edge.carving`` reads the models back out of the memory of a process that runs them.
"""
