"""A page an estimator, made from its entry, its text and the published records, with a figure each.

    python -m bench.studies.estimator_pages docs/estimators

What no record says, a person writes, in `texts/NAME.md` beside this file. It is not in the estimator's docstring,
since a record holds the hash of an estimator's whole file: a better sentence would make all published numbers those of
another source. The layout is fixed, five sections in this order:

    ## Formula       the estimate g of the gradient of E_q[f] in q's parameters, indented, 1 to 8 lines of plain text
    ## Algorithm     what is drawn, evaluated and returned, indented, a step a line
    ## Options       `- name: meaning.`, with the allowed range, one a line; texts/_shared-options.md has common ones
    ## Use when      `- ...`, a condition a line
    ## Avoid when    the same

No number of a measurement stands there: those come from the records. In all formulas S is `samples`, D the number of
latents, L latents of C classes, p the mean of a bit or class, grad the gradient in q's parameters.
"""
