def write_results(found, out):
    pass
