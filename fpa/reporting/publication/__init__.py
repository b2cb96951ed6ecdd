"""Work that is handed on: models with their cards, and results that can be cited and verified.

One module each:

    card        an exported generator's README: data, training, scores, how to load it
    exports     one folder for each generator: weights, configuration, card, picture
    datasheet   what was run where
    citation    CITATION.cff of a set of results
    layout      names of the files, checksums, and what the bundle gives again
    publish     the whole folder
    verify      tables, figures and scores made again from it, and compared
    checklist   what an archive or an artifact evaluation would miss
"""
