"""One JVM a process: start or attach it, and move pixels between numpy and ImageJ.

Importing this package loads neither jpype nor a JVM; `start` (or the first call that needs Java) does.
"""

from fijibridge.jvm.gateway import Gateway
from fijibridge.jvm.java import JavaInfo, find_java
from fijibridge.jvm.lifecycle import gateway, start
from fijibridge.jvm.maven import jars
from fijibridge.jvm.transfer import features_to_imagestack, from_imageplus, from_imagestack, to_imageplus, to_imagestack

__all__ = [
    "Gateway",
    "JavaInfo",
    "features_to_imagestack",
    "find_java",
    "from_imageplus",
    "from_imagestack",
    "gateway",
    "jars",
    "start",
    "to_imageplus",
    "to_imagestack",
]
