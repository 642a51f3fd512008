"""Looking at runs in a browser, while they train and after: `sharpen view`.

A small server reads run directories and answers with JSON; the page in `static/` draws it. Nothing is written. A run is
addressed by a number that the server dealt, never by a path, and nothing outside the folders it was given is read
(`sharpen.view.shelf`). Who may ask is decided in `sharpen.view.guard`. Whatever a model or a data set wrote reaches the
page as text, with what cannot be seen made visible (`sharpen.view.answers`), and is put into it as text.
"""
