"""
Verification of images: `fluke verify --image`.

Other than in `fluke_async.verify`, programs run as the embedding runs them, with its manager and its devices: each is
written down at many moments, restored in other kernels, and compared with a run that nobody has disturbed.
"""
