"""Reading a ``.tflite`` file that nobody vouches for, in pure Python and without TensorFlow.

TensorFlow Lite's own loader trusts the offsets in a file: a damaged one makes it read outside its
memory and ends the process. So a file is read here in two steps, both of which can only raise.

``helpers.edge.tflite.structure`` checks that every offset, length and string of the FlatBuffer lies
inside the file. ``helpers.edge.tflite.graph`` turns the file into tensors and operations and checks
that they fit together: indices, sizes of constants, quantisation parameters, strides.
"""
