"""How gateways of the simulated city speak the field's protocols: names, frames, and lines that wait for
answers.


"""
