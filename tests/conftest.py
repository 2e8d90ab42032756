"""Before any test's imports."""

# onnxruntime reports usage by default unless `serving` comes first, which says that it must not.
import serving as serving  # imported for what it sets
