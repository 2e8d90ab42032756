"""From labelled pictures to an artifact: data, networks, training, export and the report."""

# It switches off what onnxruntime would report, which must be before any module imports that.
import serving as serving
