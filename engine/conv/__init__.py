"""Convolutional nets over depth: patches of the cube, what a net sees, training, weights."""
