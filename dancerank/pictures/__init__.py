"""Pictures of action feedback: pure functions from arrays to the bytes of a PNG, an SVG or an animation.

Each function lays out one ``Sheet`` of marks (lines, polygons, words, images) which ``svg`` writes as text and
``raster`` as pixels, so that both show the same. Equal input gives equal bytes. There is no state that calls share:
they run on any number of threads at once, which matplotlib's figures, its settings and its font cache do not promise.

Sides are the dancer's own: right orange with filled joints, left blue with open ones, as colour alone says nothing in
grey. Joints whose coordinates are NaN are missing and are not drawn. Words may hold anything: they are written as text,
never read as markup or mathematics; a character without a glyph becomes a box.

Legend of all modules: T frames, V joints, B bins, C challenges; positions in pixels, x right and y down.
"""
