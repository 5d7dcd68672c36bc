"""Physics of CT: a file to HU (`dicom`), the `head` on it, HU to one scale (`geometry`), HU to grey (`windowing`)."""
