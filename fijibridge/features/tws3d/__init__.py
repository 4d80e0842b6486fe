"""Trainable Weka Segmentation's filters of a volume, made without a JVM."""
