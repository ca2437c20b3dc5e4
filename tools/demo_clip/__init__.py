"""Parts of ``tools/render_clip.py``: motion, body, scene, light and raster of the demo clip."""
