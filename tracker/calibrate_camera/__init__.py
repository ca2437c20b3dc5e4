"""A camera's calibration from pictures of a flat board: find it, choose views, fit lenses, say how sure.

``boards`` finds a board, ``views`` keeps sharp and diverse sightings, ``coverage`` says what is missing,
``gathering`` does these while pictures come, ``solve`` fits a lens, ``report`` judges it. All but
printing a chessboard needs OpenCV (extra ``calibrate``).
"""
