"""The networks: the one that is trained, VGG19 that judges it, and the loss between the two.

Of these only `network`, `perceptual`, `precision` and `vgg19` import Keras.
"""
