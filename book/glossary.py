"""thin"""
def labels(): return set()
def check_source(source): return []
