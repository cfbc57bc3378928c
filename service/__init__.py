"""coreface: a face-template verification service.

An image set of one subject becomes one template; two templates are compared 1:1.
"""

__version__ = "0.1.0"
