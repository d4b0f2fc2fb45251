"""The networks: the one that is trained, VGG19 that judges it, and the loss between the two.

Of these `keras_names`, `architecture` and `weights_file` do without Keras; `style_transfer` alone
needs TensorFlow.
"""
